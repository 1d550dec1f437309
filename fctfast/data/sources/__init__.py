"""One file a data source; :mod:`fctfast.data.registry` finds them."""

"""Poisoning attacks, for measuring detection and repair.

A new attack is one file in this folder and one test. The registry imports every file here, so
nothing else has to be edited::

    @register
    @dataclass(frozen=True)
    class MyAttack(Attack):
        name: ClassVar[str] = "my-attack"
        kind: ClassVar[Kind] = "all2one"
        form: ClassVar[Form] = "patch"
        summary: ClassVar[str] = "one grey pixel in the middle"
        source: ClassVar[str] = "the paper it comes from"
        value: int = 128  # options are dataclass fields; the recipe records them

        def trigger(self, images: Tensor, *, train: bool) -> Tensor:
            images = images.clone()
            images[:, images.shape[1] // 2, images.shape[2] // 2] = self.value
            return images

``badnets_all2one.py`` shows a patch, ``sig.py`` a pattern over the whole image with another one at
test time.

What attacks share lies beside them: ``patch.py`` and ``blend.py`` put a pattern on images,
``pgd.py`` and ``clean_model.py`` serve attacks that need a network (:meth:`Attack.prepared`),
``stegastamp.py`` and ``stegastamp_training.py`` hide bits in images for ssba, whose test trigger
needs its network, too (:meth:`Attack.keep`),
``cat.py`` draws, ``trojan_patch.py`` makes a patch for a model, ``exchange.py`` reads and writes
PNG files.

The truth about a poisoned set is not exported here on purpose: see ``truth.py``.
"""

from __future__ import annotations

from fctfast.attacks.exchange import TABLE, export_png, import_png
from fctfast.attacks.poisoning import Poisoned, Triggered, poison, trigger_test_set
from fctfast.attacks.registry import Attack, Form, Kind, get, names, register
from fctfast.attacks.selection import attacked_labels, check_rate, select_poison
from fctfast.attacks.storage import read_recipe, recipe_attack, save_poisoned

__all__ = [
    "TABLE",
    "Attack",
    "Form",
    "Kind",
    "Poisoned",
    "Triggered",
    "attacked_labels",
    "check_rate",
    "export_png",
    "get",
    "import_png",
    "names",
    "poison",
    "read_recipe",
    "recipe_attack",
    "register",
    "save_poisoned",
    "select_poison",
    "trigger_test_set",
]

"""``fctfast attacks``: what ``fctfast poison`` can do."""

from __future__ import annotations

from fctfast.cli import common
from fctfast.cli.common import guarded


@guarded
def run(*, as_json: common.Json = False, debug: common.Debug = False) -> None:
    """List the attacks: what they look like, how they label, where they come from.

    \b
    Examples:
      fctfast attacks
      fctfast attacks --json
    """
    from fctfast import attacks

    made = [attacks.get(name) for name in attacks.names()]
    result = {
        a.name: {
            "summary": a.summary,
            "kind": a.kind,
            "form": a.form,
            "visible": a.visible,
            "sample_specific": a.sample_specific,
            "needs_model": a.needs_model,
            "test_needs_model": a.test_needs_model,
            "source": a.source,
            "options": a.options(),
        }
        for a in made
    }
    lines = []
    for a in made:
        lines += [f"{a.name}: {a.summary}", f"    {', '.join(a.traits())}", f"    {a.source}"]
        if a.needs_model:
            lines.append(
                "    needs a network: trained once on the clean set (minutes to an hour), kept"
            )
        lines += [f"    --option {name}={_words(value)}" for name, value in a.options().items()]
    lines += [
        "",
        "Next: fctfast poison --data-dir digits --attack NAME --preview look.png --out poisoned",
    ]
    common.emit({"attacks": result}, lines, as_json=as_json)


def _words(value: object) -> object:
    """A default as it can be read on a line; --json has it whole."""
    if value is None:
        return "...  (optional)"
    return "[...]" if isinstance(value, (list, tuple)) else value

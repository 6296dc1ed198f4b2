"""`tunet info`."""

__all__ = ["info"]


def info(*, json: bool = False) -> None:
    """Say what is installed: versions, device, recipes, packaged models, and the variants' parameter counts.

    Args:
        json: Print one JSON object instead of lines.
    """
    from tunetseg.cli.facts import gather, lines

    facts = gather()
    if json:
        import json as codec

        print(codec.dumps(facts, indent=1))
    else:
        print("\n".join(lines(facts)))

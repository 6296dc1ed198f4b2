"""``tunet info``."""

__all__ = ["info"]


def info(*, json: bool = False) -> None:
    """Print what is installed: versions, device, networks, datasets, recipes and packaged models.

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

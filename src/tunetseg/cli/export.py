"""``tunet export``."""

from typing import Annotated

import tyro

from tunetseg.cli.options import OptionalOutPath, optional

__all__ = ["export"]


def export(
    models: Annotated[tuple[str, ...], tyro.conf.Positional, optional("MODEL")],
    *,
    out: OptionalOutPath = None,
    openvino: bool = False,
) -> None:
    """Write models as ONNX, which OpenVINO and ONNX Runtime run without PyTorch.

    By default the file stands next to the model, where 'tunet segment' looks for it, and takes the weights from there;
    training writes it by itself. With --out it holds the weights, for other programs. Needs tunetseg[train].

    Args:
        models: Packaged models, model files or run folders.
        out: Folder for files that need no other, created if needed.
        openvino: Write OpenVINO IR (.xml and .bin) instead, for programs that read nothing else.
    """
    from tunetseg.errors import InputError
    from tunetseg.io.files import make_folder
    from tunetseg.models.export import write_companion, write_onnx, write_openvino
    from tunetseg.models.zoo import MODEL, find_models

    paths = find_models(models)
    folder = None if out is None else make_folder(out)
    names = [path.parent.name if folder is not None and path.name == MODEL else path.stem for path in paths]
    targets = [(folder or path.parent) / f"{name}.onnx" for path, name in zip(paths, names, strict=True)]
    if len({*targets}) < len(targets):
        raise InputError("two models would get the same file; export them into different folders")
    for path, target in zip(paths, targets, strict=True):
        if openvino:
            written = write_openvino(path, target.with_suffix(".xml"))
        else:
            written = write_companion(path) if folder is None else write_onnx(path, target)
        print(f"wrote {written}")

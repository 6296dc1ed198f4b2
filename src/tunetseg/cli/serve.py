"""``tunet serve``."""

from typing import Annotated, Literal

from tunetseg.cli.options import optional

__all__ = ["serve"]


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8017,
    name: Annotated[tuple[str, ...], optional("NAME")] = (),
    model: Annotated[tuple[str, ...], optional("NAME-OR-PATH")] = (),
    engine: Literal["auto", "openvino", "onnxruntime", "torch"] = "auto",
    device: str = "auto",
    max_gb: float = 4.0,
) -> None:
    """Show a page in the browser that segments the files that are dropped on it.

    Open the address that is printed; it holds a token, without which nothing is answered. Drop four images, a folder,
    DICOM files, or a zip archive. The page shows what they were recognised as before anything starts, then the
    progress, then the report with its viewer, and offers everything as a zip archive. Ctrl-C ends the server and
    removes all files. Research use, not a medical device.

    Args:
        host: Network interface to listen on; by default only this computer can reach the page. On any other the
            connection is not encrypted: put a proxy with HTTPS before it, or reach it through an SSH tunnel.
        port: Number of the port; 0 takes one that is free.
        name: Further names by which the server is called, such as that of a proxy.
        model: Packaged models, model files, run folders or study folders; several are averaged.
        engine: What runs the network: auto is PyTorch on a GPU, else OpenVINO, which needs no PyTorch.
        device: auto, cpu, cuda or mps.
        max_gb: Size of all uploads and results together, in GB.
    """
    from tunetseg.cli.console import line_console, shown
    from tunetseg.errors import InputError, Terminated
    from tunetseg.inference.predictor import load_model
    from tunetseg.serve.server import Address, serve

    if not 0 < max_gb < 1e6:
        raise InputError(f"--max-gb {max_gb}: must be above 0")
    console, address = line_console(), Address(host, port, name)
    if not address.private:
        console.print("WARNING: other computers can reach this server, and the connection is not encrypted")

    def announce(url: str) -> None:
        console.print(f"Open {url} in a browser; Ctrl-C ends the server and removes all files.")

    try:
        with shown():
            serve(
                load_model(*model, engine=engine, device=device),
                address,
                most_bytes=int(max_gb * 1e9),
                announce=announce,
            )
    except Terminated:
        raise
    except KeyboardInterrupt:
        console.print("The server has ended; its files are removed.")

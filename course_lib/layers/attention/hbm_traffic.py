"""A counter of bytes moved between the large memory (HBM) and the chip.

Terms:
    HBM traffic: bytes that attention loads from and stores to the large memory ->
        HBMTraffic
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class HBMTraffic:
    """Bytes that the forward tiles load from the large memory and store there;
    positions are not counted.
    """

    read_bytes: int = 0
    written_bytes: int = 0

    def load(self, tile: Tensor) -> Tensor:
        """Count a tile that is read, and give it back."""
        self.read_bytes += tile.nbytes
        return tile

    def store(self, place: Tensor, tile: Tensor) -> None:
        """Put a finished tile into its place in memory, and count it."""
        place.copy_(tile)
        self.written_bytes += place.nbytes

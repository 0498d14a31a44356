"""What can be said about taking over a trained model."""

from dataclasses import dataclass
from typing import Literal

from latchwork.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """How a trained model is taken over.

    Args:
        freeze: Parts that stay as they are: encoder, body, head, or deeper, such as body.layers.0 or encoder.embedding;
            commas between them.
        unfreeze: "gradual": the head learns first, and after each epoch one layer more, from the head down (ULMFiT).
            "all": everything from the start.
        layer_decay: Each layer learns at this share of the rate of the layer above it (ULMFiT has 1/2.6); 1: all alike.
            A part of which nothing was taken over learns at the full rate.
        vocabulary: "keep": words that the model does not know are read as unknown. "extend": they get vectors of
            their own beside those of the known ones, and learn with these: at the encoder's rate, and from when on it
            learns.
        recurrent: Of a weights file of torch or Keras: the layers to take, from the input up. None: all there are.
    """

    freeze: tuple[str, ...] = ()
    unfreeze: Literal["all", "gradual"] = "all"
    layer_decay: float = 1.0
    vocabulary: Literal["keep", "extend"] = "keep"
    recurrent: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("freeze", "recurrent"):
            given = getattr(self, name)
            parts = (given,) if isinstance(given, str) else tuple(given)
            object.__setattr__(self, name, tuple(p.strip() for one in parts for p in one.split(",") if p.strip()))
        for name, allowed in (("unfreeze", ("all", "gradual")), ("vocabulary", ("keep", "extend"))):
            if getattr(self, name) not in allowed:
                raise ConfigError(f'{name} is "{getattr(self, name)}", expected {" or ".join(allowed)}')
        still = [name for name in self.freeze if name in ("encoder", "encoder.embedding", "encoder.embedding.weight")]
        if still and self.vocabulary == "extend":
            raise ConfigError(
                f"freeze names {still[0]}, and with vocabulary=extend the vectors of new words are in it, which would "
                "stay at random: leave one of them out"
            )
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay is {self.layer_decay}, expected above 0 and at most 1")

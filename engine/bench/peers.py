"""Training steps as a user of the package lightly writes them, from its documentation's examples.

Same encoder size, batch, precision, optimiser and data as ours; pictures come as decoded PIL images from memory (no
file is read, which favours the peer), through lightly's transforms in a DataLoader with worker processes.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Array = np.ndarray[Any, np.dtype[Any]]
StepFunction = Callable[[], None]


class Pictures(Dataset[Any]):
    """Pictures (N, C, H, W) uint8 as PIL images through a transform."""

    def __init__(self, pictures: Array, transform: Callable[[Any], Any]) -> None:
        self.images = [Image.fromarray(picture.transpose(1, 2, 0)) for picture in pictures]
        self.transform = transform

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        """Return the views of a picture."""
        return self.transform(self.images[index])


def endless(pictures: Array, transform: Callable[[Any], Any], batch_size: int, workers: int) -> Iterator[Any]:
    """Return batches of views for ever."""
    loader: DataLoader[Any] = DataLoader(
        Pictures(pictures, transform),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield from loader


def vit(image_px: int, patch_px: int, dim: int, depth: int, heads: int, **options: Any) -> nn.Module:
    """Return timm's vision transformer of this size, without a head."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        img_size=image_px,
        patch_size=patch_px,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        num_classes=0,
        **options,
    )


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One update."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def mae_step(pictures: Array, size: dict[str, int], batch_size: int, workers: int) -> StepFunction:
    """MAE with lightly's masked transformer, decoder and transform."""
    from lightly.models import utils
    from lightly.models.modules import MAEDecoderTIMM, MaskedVisionTransformerTIMM
    from lightly.transforms import MAETransform

    backbone = MaskedVisionTransformerTIMM(
        vit=vit(size["image_px"], size["patch_px"], size["dim"], size["depth"], size["heads"])
    )
    tokens = (size["image_px"] // size["patch_px"]) ** 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # its successor has no layer that predicts pixels
        decoder = MAEDecoderTIMM(
            num_patches=tokens,
            patch_size=size["patch_px"],
            embed_dim=size["dim"],
            decoder_embed_dim=size["decoder_dim"],
            decoder_depth=size["decoder_depth"],
            decoder_num_heads=size["decoder_heads"],
        )
    parameters = [*backbone.parameters(), *decoder.parameters()]
    optimiser = torch.optim.AdamW([one for one in parameters if one.requires_grad], lr=1.5e-4)
    criterion = nn.MSELoss()
    batches = endless(pictures, MAETransform(input_size=size["image_px"]), batch_size, workers)

    def step() -> None:
        images = next(batches)[0]
        count = len(images)
        keep, mask = utils.random_token_mask(size=(count, tokens + 1), mask_ratio=0.75, device=images.device)
        encoded = backbone.encode(images=images, idx_keep=keep)
        decoded = decoder.embed(encoded)
        masked = utils.repeat_token(decoder.mask_token, (count, tokens + 1))
        masked = utils.set_at_index(masked, keep, decoded.type_as(masked))
        predicted = decoder.predict(utils.get_at_index(decoder.decode(masked), mask))
        target = utils.get_at_index(utils.patchify(images, size["patch_px"]), mask - 1)
        descend(optimiser, criterion(predicted, target))

    return step


def simclr_step(
    pictures: Array, size: dict[str, int], batch_size: int, workers: int, encoder: nn.Module, width: int
) -> StepFunction:
    """SimCLR with lightly's head, loss and transform, around the encoder that ours uses too."""
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    head = SimCLRProjectionHead(width, size["hidden_dim"], size["output_dim"])
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=1e-3)
    criterion = NTXentLoss(temperature=0.2)
    batches = endless(pictures, SimCLRTransform(input_size=size["image_px"]), batch_size, workers)

    def step() -> None:
        first, second = next(batches)[:2]
        z = [head(encoder(view)) for view in (first, second)]
        descend(optimiser, criterion(*z))

    return step


def dino_step(pictures: Array, size: dict[str, int], batch_size: int, workers: int) -> StepFunction:
    """DINO with lightly's heads, loss and transform."""
    from lightly.loss import DINOLoss
    from lightly.models.modules import DINOProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from lightly.transforms import DINOTransform

    student = vit(size["image_px"], size["patch_px"], size["dim"], size["depth"], size["heads"], dynamic_img_size=True)
    student_head = DINOProjectionHead(
        size["dim"], size["hidden_dim"], size["bottleneck_dim"], size["output_dim"], freeze_last_layer=0
    )
    teacher, teacher_head = (
        copy.deepcopy(student),
        DINOProjectionHead(size["dim"], size["hidden_dim"], size["bottleneck_dim"], size["output_dim"]),
    )
    deactivate_requires_grad(teacher)
    deactivate_requires_grad(teacher_head)
    criterion = DINOLoss(output_dim=size["output_dim"], warmup_teacher_temp_epochs=5)
    optimiser = torch.optim.AdamW([*student.parameters(), *student_head.parameters()], lr=1e-3)
    transform = DINOTransform(
        global_crop_size=size["image_px"],
        local_crop_size=size["local_px"],
        n_local_views=size["locals"],
    )
    batches = endless(pictures, transform, batch_size, workers)

    def step() -> None:
        views = next(batches)
        update_momentum(student, teacher, m=0.996)
        update_momentum(student_head, teacher_head, m=0.996)
        with torch.no_grad():
            targets = [teacher_head(teacher(view)) for view in views[:2]]
        outputs = [student_head(student(view)) for view in views]
        descend(optimiser, criterion(targets, outputs, epoch=1))

    return step

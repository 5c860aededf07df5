import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch.testing import assert_close

from engine.errors import ConfigError
from engine.networks.patches import PatchEmbed, patchify, unpatchify
from tests.engine.networks.samples import PATCHES, SIZES, noise


def test_that_the_channel_is_fastest_inside_a_patch() -> None:
    x = noise(2, 3, 8, 12)
    naive = rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=4, q=2)
    assert torch.equal(patchify(x, (4, 2)), naive)


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_that_unpatchify_undoes_patchify(axes: int) -> None:
    x = noise(2, 3, *SIZES[axes])
    grid = [side // step for side, step in zip(SIZES[axes], PATCHES[axes], strict=True)]
    assert torch.equal(unpatchify(patchify(x, PATCHES[axes]), PATCHES[axes], grid), x)


@pytest.mark.parametrize(("axes", "convolve"), [(1, F.conv1d), (2, F.conv2d), (3, F.conv3d)])
def test_that_embedding_patches_is_a_convolution_with_stride(axes: int, convolve: object) -> None:
    embed, x = PatchEmbed(PATCHES[axes], 3, 10), noise(2, 3, *SIZES[axes])
    naive = convolve(x, embed.proj.weight, embed.proj.bias, stride=PATCHES[axes])  # type: ignore[operator]
    assert_close(embed(x), naive.flatten(2).transpose(1, 2))


def test_that_patches_which_do_not_tile_are_refused() -> None:
    with pytest.raises(ConfigError, match="do not tile"):
        patchify(noise(1, 3, 10, 12), (4, 4))

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.testing import assert_close

from engine.networks.heads import DinoHead, Projector, Prototypes, UnitLinear
from tests.engine.networks.samples import noise


def test_that_a_projector_has_the_layers_it_is_asked_for() -> None:
    kinds = [type(layer) for layer in Projector([8, 6, 4], last_norm="plain").layers]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    bare = Projector([8, 6, 4], norm="none", activation="gelu").layers
    assert [type(layer) for layer in bare] == [nn.Linear, nn.GELU, nn.Linear]
    assert bare[0].bias is not None


def test_that_a_linear_layer_before_a_norm_has_no_bias() -> None:
    layers = Projector([8, 6, 4], last_norm="plain").layers
    assert layers[0].bias is None
    assert layers[3].bias is None
    assert layers[4].weight is None


def test_that_leading_axes_count_as_one_batch() -> None:
    head, x = Projector([8, 6, 4]), noise(3, 5, 8)
    assert_close(head(x), head(x.reshape(15, 8)).view(3, 5, 4))


def test_that_prototypes_have_unit_length_after_normalising() -> None:
    prototypes = Prototypes(8, 5)
    prototypes.weight.data.mul_(3)
    prototypes.normalise()
    assert_close(prototypes.weight.norm(dim=1), torch.ones(5))
    assert_close(prototypes(prototypes.weight.detach()).diagonal(), torch.ones(5))


def test_that_the_last_layer_is_torchs_weight_norm_with_gain_one() -> None:
    ours, z = UnitLinear(6, 9), noise(4, 6)
    theirs = weight_norm(nn.Linear(6, 9, bias=False), dim=0)
    theirs.parametrizations.weight.original0.data.fill_(1)
    theirs.parametrizations.weight.original1.data.copy_(ours.weight.data)
    assert_close(ours(z), theirs(z))


def test_that_a_frozen_gain_is_a_buffer_and_a_trained_one_a_parameter() -> None:
    assert "gain" in dict(UnitLinear(6, 9).named_buffers())
    assert "gain" in dict(UnitLinear(6, 9, is_gain_frozen=False).named_parameters())


def test_that_a_frozen_last_layer_gets_no_gradient_but_passes_it_on() -> None:
    head = DinoHead(8, 16, hidden=12, bottleneck=6)
    head(noise(4, 8), is_last_frozen=True).square().sum().backward()
    assert head.last.weight.grad is None
    assert all(one.grad is not None for one in head.mlp.parameters())


def test_that_dino_logits_are_cosines() -> None:
    head, x = DinoHead(8, 16, hidden=12, bottleneck=6), noise(2, 5, 8)
    logits = head(x)
    naive = F.normalize(head.mlp(x), dim=-1) @ F.normalize(head.last.weight, dim=1).T
    assert_close(logits, naive)
    assert float(logits.detach().abs().max()) <= 1 + 1e-5


def test_that_dino_logits_are_finite_in_bfloat16() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert bool(DinoHead(8, 16, hidden=12, bottleneck=6)(noise(4, 8)).isfinite().all())

"""MFM against the formulas and numbers of its page, written naively."""

import msgspec
import numpy as np
import pytest
import torch
from torch.testing import assert_close

from engine.contract.subject import Subject
from engine.errors import ConfigError
from engine.methods.mfm import METHOD, MFM, MFMConfig, composite, corrupt
from engine.protocol.forms import apply_settings
from engine.protocol.inspections import Choice
from engine.protocol.schema import FieldKind, FieldSpec, Schema
from engine.views.pixels import denormalise
from engine.views.rng import Rng

RGB = Schema(fields=(FieldSpec(name="image", kind=FieldKind.IMAGE, shape=(3, 224, 224)),))
PAPER = apply_settings(MFMConfig(), METHOD.presets["paper"].config)[0]


def built(**changes: object) -> tuple[Subject, MFM, dict[str, torch.Tensor]]:
    subject = Subject.of(METHOD)
    config = msgspec.structs.replace(subject.config, **changes)
    subject = Subject(METHOD, config, subject.schema, subject.stages)
    model = subject.models()[0]
    assert isinstance(model, MFM)
    return subject, model, dict(subject.views(subject.stages[0], subject.batch(3)))


@pytest.mark.reference
def test_that_the_loss_is_the_mean_modulus_over_the_removed_frequencies_of_the_batch() -> None:
    _, model, views = built()
    output = model.predict(views["corrupted"]).detach().double()
    total, count = 0.0, 0
    side = 32
    waves = torch.exp(-2j * torch.pi * torch.outer(torch.arange(side) - 16, torch.arange(side)) / side).to(
        torch.complex128
    )
    for record in range(3):
        removed = views["removed"][record]
        for channel in range(3):
            difference = output[record, channel] - views["image"][record, channel].double()
            spectrum = waves @ difference.to(torch.complex128) @ waves.T / side
            total += float(spectrum.abs()[removed].sum())
        count += 3 * int(removed.sum())
    assert_close(model.step(views, 0.0).loss.detach(), torch.tensor(total / count, dtype=torch.float32))


@pytest.mark.reference
def test_that_the_corrupted_picture_is_the_clipped_real_part_and_normalised_afterwards() -> None:
    subject, _, views = built()
    spec = subject.batch(3).specs["image"]
    values = denormalise(views["image"], spec)
    filtered = torch.fft.fftshift(torch.fft.fft2(values), dim=(2, 3)) * ~views["removed"].unsqueeze(1)
    back = torch.fft.ifft2(torch.fft.ifftshift(filtered, dim=(2, 3))).real.clamp(0, 1)
    assert_close(views["corrupted"], (back - 0.5) / 0.25, atol=1e-4, rtol=0)


@pytest.mark.reference
def test_that_the_decoder_is_a_pointwise_convolution_whose_channel_is_slowest() -> None:
    _, model, views = built()
    with torch.no_grad():
        model.eval()
        places = model.encoder.features(views["corrupted"]).dense
        output = model.predict(views["corrupted"])
        values = places[1, 8 * 3 + 5] @ model.decoder.weight.T + model.decoder.bias
    patch = values.view(3, 4, 4)  # channel, row, column
    assert_close(output[1, :, 12:16, 20:24], patch)


@pytest.mark.reference
def test_that_the_paper_preset_has_the_parameters_of_vit_base_and_its_linear_decoder() -> None:
    with torch.device("meta"):
        model = MFM(PAPER, RGB)
    found = sum(parameter.numel() for parameter in model.parameters())
    encoder = found - (768 * 768 + 768)
    assert encoder == pytest.approx(85.8e6, rel=0.01)  # ViT-B/16 without its classifier, as published
    assert found == METHOD.paper.parameters["paper"]


@pytest.mark.reference
def test_that_resnet_50_is_decoded_from_its_last_map_with_stride_32() -> None:
    with torch.device("meta"):
        model = MFM(msgspec.structs.replace(PAPER, encoder="resnet50"), RGB)
    assert model.stride == 32
    assert model.decoder.weight.shape == (32 * 32 * 3, 2048)
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 23_508_032


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["vit-base", "resnet50"])
def test_that_a_step_at_paper_size_is_finite(encoder: str) -> None:
    config = msgspec.structs.replace(PAPER, encoder=encoder)
    model = MFM(config, RGB)
    image = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    views = {"image": image} | corrupt(image, config, Rng(0, 0, torch.arange(2)), RGB.fields[0])
    loss = model.step(views, 0.0).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.reference
def test_that_deep_blocks_add_little_at_first() -> None:
    model = built()[1]
    stds = [float(block.mlp.fc2.weight.detach().std()) for block in model.encoder.blocks]
    assert stds == pytest.approx([0.02 / (2 * number) ** 0.5 for number in range(1, 5)], rel=0.05)
    assert float(model.encoder.pos_embed.detach().abs().max()) <= 0.02


@pytest.mark.parametrize("encoder", ["resnet-small", "resnet-micro"])
def test_that_convolutional_networks_learn_by_it(encoder: str) -> None:
    _, model, views = built(encoder=encoder)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = model.step(views, 0.0).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_that_an_encoder_without_a_map_is_refused() -> None:
    with pytest.raises(ConfigError, match="form no map"):
        built(encoder="resnet-small", image_px=30)


@pytest.mark.parametrize("corruption", ["resolution", "blur", "noise", "nothing"])
def test_that_other_corruptions_count_all_frequencies(corruption: str) -> None:
    _, model, views = built(corruption=corruption)
    assert views["removed"].all()
    assert torch.isfinite(model.step(views, 0.0).loss)
    assert torch.allclose(views["corrupted"], views["image"], atol=1e-5) is (corruption == "nothing")


def test_that_copying_the_input_is_worth_the_energy_it_lost() -> None:
    _, model, views = built(low_pass_share=1.0)
    monitors = model.step(views, 0.0).monitors
    assert float(monitors["input as the answer"]) > 0
    assert_close(monitors["high frequencies"], model.step(views, 0.0).loss.detach())


def test_that_the_composite_keeps_what_was_kept() -> None:
    _, model, views = built()
    found = composite(views, model.predict(views["corrupted"]).detach())
    kept = ~views["removed"].unsqueeze(1).expand_as(found)
    spectra = [torch.fft.fftshift(torch.fft.fft2(x), dim=(2, 3)) for x in (found, views["image"])]
    # the border of an even spectrum has no mirror image, so that the real part differs there
    inner = kept.clone()
    inner[:, :, 0] = inner[:, :, :, 0] = False
    assert_close(spectra[0][inner], spectra[1][inner], atol=1e-3, rtol=1e-4)


def test_that_the_network_is_drawn_beside_its_input_at_every_frequency() -> None:
    subject, model, _ = built()
    batch = subject.batch(3)
    look = {look.name: look for look in METHOD.inspections}["spectral-error"]
    with torch.no_grad():
        shown = look.compute(model.eval(), batch, Choice(), subject.config, Rng(0, 0, batch.index))
    assert shown.values.shape == (4, 17)
    assert (shown.values > 0).all()
    low_pass_input = shown.values[shown.series.index("high removed, the input")]
    assert low_pass_input[:2].max() < 0.2 * low_pass_input[5:].mean()
    assert np.array_equal(shown.x, np.arange(17))

"""Fine-tuning: the whole network trained further with labels.

Recipe: Bao et al. 2021 (BEiT), He et al. 2022 (MAE): AdamW, warm-up and cosine, layer-wise decay 0.75, label smoothing
0.1; here 400 steps of 64 records without augmentation. The untrained network by the same recipe is training from
scratch.
"""

from __future__ import annotations

from engine.evaluation.fine_tuning import FineTuning, fine_tuned_predictions
from engine.evaluation.protocols.classification import accuracy_finding
from engine.evaluation.protocols.setting import NETWORKS, Finding, Protocol, Setting
from engine.protocol.evaluations import BY_NAME
from engine.protocol.inspections import Array

RECIPE = FineTuning()


def measure(setting: Setting, recipe: FineTuning = RECIPE) -> Finding:
    """Return the top-1 accuracy; "untrained" is the same network trained from scratch."""
    data = setting.labelled()
    right: list[Array] = []
    for which in (0, 1):

        def tell(done: int, total: int, which: int = which) -> None:
            setting.report(which * total + done, 2 * total, "steps", NETWORKS[which])

        predicted = fine_tuned_predictions(
            setting.network(which), setting.loader(), data.train, data.train_labels, data.test, len(data.classes),
            recipe, progress=tell,
        )  # fmt: skip
        right.append((predicted == data.test_labels).numpy())
    told = {
        "steps": recipe.steps, "batch_size": recipe.batch_size, "learning_rate": recipe.learning_rate,
        "layer_decay": recipe.decay, "untrained_is": "trained from scratch by the same recipe",
    }  # fmt: skip
    return accuracy_finding(setting, right, told)


PROTOCOL = Protocol(BY_NAME["fine-tuning"], measure)

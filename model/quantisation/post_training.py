"""Post-training quantisation in one step: from a float network and calibration images to an integer network."""

import dataclasses

import numpy as np
from rich.console import Console

from moesaic.errors import UserError
from moesaic.model.network.vit import M3ViT
from moesaic.model.pathways.alternatives import PathwayPlan, add_alternatives
from moesaic.model.pathways.pathway import Experts, on_pathways, whole_network
from moesaic.model.quantisation.bit_choice import choose_four_bit_experts
from moesaic.model.quantisation.calibration import (
    Calibration,
    Moments,
    calibrate,
    merge,
    merged_moments,
    split_pictures,
)
from moesaic.model.quantisation.integer import IntegerNetwork
from moesaic.model.quantisation.quantise import quantise, require_score_ratios
from moesaic.model.quantisation.scale_search import choose_scales
from moesaic.model.quantisation.scales import Scales
from moesaic.model.quantisation.settings import AUTO, FEEDBACK, NEAREST, PtqSettings
from moesaic.model.quantisation.weight_rounding import with_rounding_feedback
from moesaic.model.recipes.recipe import ModelConfiguration

CALIBRATION_SCENES = 64
DEFAULT_PTQ = PtqSettings()


def integer_network(
    model: M3ViT,
    images: np.ndarray,
    plan: PathwayPlan | None = None,
    settings: PtqSettings = DEFAULT_PTQ,
    scales: Scales | None = None,
) -> IntegerNetwork:
    """The model quantised with scales from calibration images, uint8 [N, height, width, 3].

    plan: the integer network's pathways, all of which the scales suit; by default only the whole network. settings: how the scales
    are chosen, and how weights are rounded. scales: use these instead, with their own settings, and round each weight to the nearest
    integer: for a model from `calibrated` or from training in integers.
    UserError if the model does not have the light head, or has values too large for integers.
    """
    require_integer_form(model.configuration)
    plan = PathwayPlan(whole_network(model)) if plan is None else plan
    model, scales = calibrated(model, images, settings, plan, scales)
    architecture = dataclasses.replace(model.configuration.architecture, four_bit_experts=scales.four_bit_experts)
    tasks, tensors = add_alternatives(plan, *quantise(model, scales, plan.union))
    return IntegerNetwork(architecture, tasks, tensors)


def calibrated(
    model: M3ViT,
    images: np.ndarray,
    settings: PtqSettings,
    plan: PathwayPlan | None = None,
    scales: Scales | None = None,
    console: Console | None = None,
) -> tuple[M3ViT, Scales]:
    """A model whose weights round to the integers that the settings ask for, and scales for it; see `scales_for`.

    The model is the one that was given, or with rounding by feedback a copy with other weights. scales: those that the model has
    already; then both are returned as they are. console: where to show a progress bar while experts for 4 bits are chosen.
    """
    if scales is not None:
        return model, scales
    plan = PathwayPlan(whole_network(model)) if plan is None else plan
    found, moments = _measured(model, images, settings, plan)

    def rounded(four_bit_experts: Experts) -> tuple[M3ViT, Scales]:
        scales = dataclasses.replace(found, four_bit_experts=four_bit_experts)
        if settings.rounding == NEAREST:
            return model, scales
        return with_rounding_feedback(model, scales, moments, plan.union), scales

    every = model.configuration.architecture.all_experts
    if settings.expert_bits != AUTO:
        return rounded(every if settings.expert_bits == 4 else {})
    eight, four, loss = rounded({}), rounded(every), settings.expert_bits_loss
    chosen, measured = choose_four_bit_experts(model, eight, four, plan, images, loss, console)
    model, scales = rounded(chosen)
    return model, dataclasses.replace(scales, measured_bits=measured)


def scales_for(model: M3ViT, images: np.ndarray, settings: PtqSettings, plan: PathwayPlan | None = None) -> Scales:
    """Scales that suit the activations from images uint8 [N, height, width, 3] on every pathway of a plan, or in the whole network.

    UserError if the model does not have the light head, or if values are not finite or too large for integers, which it names.
    """
    return calibrated(model, images, dataclasses.replace(settings, rounding=NEAREST), plan)[1]


def _measured(
    model: M3ViT, images: np.ndarray, settings: PtqSettings, plan: PathwayPlan
) -> tuple[Scales, dict[str, Moments]]:
    """The scales, and if weights are to be rounded with feedback, moments of what their layers read."""
    require_integer_form(model.configuration)
    parts: tuple[list[Calibration], list[Calibration]] = [], []
    for pathways in plan.every:
        with on_pathways(model, pathways):
            for pictures, found in zip(split_pictures(images), parts):
                found.append(calibrate(model, pictures, moments=settings.rounding == FEEDBACK))
    seen, held_out = (merge(found) for found in parts)
    scales = choose_scales(model, seen, held_out, plan.union, settings)
    require_score_ratios(scales, model.configuration.head_dim)
    return scales, merged_moments([seen, held_out])


def require_integer_form(configuration: ModelConfiguration) -> None:
    """Raise UserError if the network has no integer form, for a dense head other than the light one or a gate that is a control."""
    configuration.require_linear_gate()
    if not configuration.has_integer_form:
        head = f"the head {configuration.head!r} has no integer form: the accelerator runs the light head"
        raise UserError(f"{head}; train a recipe with head = 'light', or take `moesaic export --onnx-only`")

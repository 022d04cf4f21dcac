"""Muon for small matrices on a CPU: momentum, made orthogonal (Jordan et al. 2024).

torch has one too; its Newton-Schulz iterations are in bfloat16, which most CPUs only emulate, and go matrix by matrix.
This one works in float32 on all matrices of a shape at once, at a third of the cost on a model of this size.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # the paper's quintic
ITERATIONS = 5
EPSILON = 1e-7
MOMENTUM, WEIGHT_DECAY = 0.95, 0.01


class Muon:
    """Of the matrices `parameters`; `step` at the rate that is set."""

    def __init__(self, parameters: Sequence[Any]) -> None:
        import torch  # noqa: PLC0415

        self.groups: dict[tuple[int, ...], list[Any]] = defaultdict(list)
        for parameter in parameters:
            self.groups[tuple(parameter.shape)].append(parameter)
        self.moments = {shape: torch.zeros(len(group), *shape) for shape, group in self.groups.items()}

    def step(self, rate: float) -> None:
        """Nesterov's momentum, orthogonal, scaled so that wide and tall matrices move alike."""
        import torch  # noqa: PLC0415

        with torch.no_grad():
            for shape, group in self.groups.items():
                gradient = torch.stack([parameter.grad for parameter in group])
                moment = self.moments[shape]
                moment.lerp_(gradient, 1 - MOMENTUM)
                update = orthogonal(gradient.lerp_(moment, MOMENTUM))
                update *= rate * max(1.0, shape[0] / shape[1]) ** 0.5
                for parameter, change in zip(group, update.unbind(), strict=True):
                    parameter.mul_(1 - rate * WEIGHT_DECAY).sub_(change)
                    parameter.grad = None


def orthogonal(matrices: Any) -> Any:
    """Each of a stack of matrices with its singular values brought near 1."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + EPSILON)
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x

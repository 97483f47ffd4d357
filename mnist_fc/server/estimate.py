"""About how long training takes, before it has begun."""

from mnist_fc.config import Augmentation, TrainConfig

# What the engine takes on the two cores that it was measured on; `pace` says how this machine compares.
SECONDS_PER_IMAGE_AND_PARAMETER = 2.2e-11
SECONDS_PER_AUGMENTED_IMAGE: dict[Augmentation, float] = {"none": 0.0, "shift": 2e-6, "affine": 4e-6, "elastic": 9e-6}
SECONDS_PER_SPEED_RECORD = 0.5


def expected_seconds(config: TrainConfig, num_images: int) -> float:
    """About what training on so many images takes on a machine of pace 1."""
    per_image = SECONDS_PER_IMAGE_AND_PARAMETER * config.num_parameters + SECONDS_PER_AUGMENTED_IMAGE[config.augmentation]
    return num_images * per_image


def num_images_of_run(config: TrainConfig, num_train_images: int) -> int:
    """How many images a run with these settings sees, of data with so many training images."""
    return (num_train_images - config.num_validation) * config.num_epochs

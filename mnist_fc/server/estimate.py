"""Estimates of how long training takes before it has begun."""

from mnist_fc.config import Augmentation, TrainConfig

# As measured on the two cores of one machine; the scheduler's `pace` scales them to the machine at hand.
SECONDS_PER_IMAGE_AND_PARAMETER = 2.2e-11
SECONDS_PER_AUGMENTED_IMAGE: dict[Augmentation, float] = {"none": 0.0, "shift": 2e-6, "affine": 4e-6, "elastic": 9e-6}
SECONDS_PER_SPEED_RECORD = 0.5


def expected_seconds(config: TrainConfig, num_images: int) -> float:
    """Estimate the seconds of training on `num_images` images on a machine of pace 1."""
    per_image = SECONDS_PER_IMAGE_AND_PARAMETER * config.num_parameters + SECONDS_PER_AUGMENTED_IMAGE[config.augmentation]
    return num_images * per_image


def num_images_of_run(config: TrainConfig, num_train_images: int) -> int:
    """Return how many images a run sees in all its epochs, given the number of training images in the data."""
    fitted = config.fitted_to(num_train_images)  # a run in the store may be of other, larger data
    return (num_train_images - fitted.num_validation) * config.num_epochs

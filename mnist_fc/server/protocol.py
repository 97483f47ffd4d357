"""What passes between the server and a training process."""

RECORDS_FOLLOW = b"mnist_fc: records follow\n"

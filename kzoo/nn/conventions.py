"""What kzoo's networks, losses and metrics are, whatever keras.json of the user's home says for other work."""

import keras

keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")

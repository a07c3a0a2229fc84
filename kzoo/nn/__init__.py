"""What networks are made of."""

import keras

# What kzoo's networks are, whatever keras.json of the user's home says for other work.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")

"""TensorFlow graphs and Keras models, read into layers and written from them."""

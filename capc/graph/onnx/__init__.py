"""ONNX models, as PyTorch and scikit-learn export them, read into layers."""

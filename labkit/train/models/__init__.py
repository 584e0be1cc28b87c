"""The bundled models, and the layers that they are built of."""

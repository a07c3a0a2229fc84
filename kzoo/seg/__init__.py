"""Segmentation: upsampling, dilation, residual streams, U-Net's border map, tiles."""

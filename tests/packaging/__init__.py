"""What people install: the wheel, the image, the chart and the Debian package."""

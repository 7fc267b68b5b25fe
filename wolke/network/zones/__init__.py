"""Zones: what of the site's own networks projects may build on, declared once; every host converges by itself."""

"""ROS-free core: cameras, synchronisation, engines, clouds, data sources and evaluation.

Importing it needs numpy, OpenCV and PyYAML only; engines and readers import their libraries when they are used.
"""

"""Holds the core without ROS: cameras, synchronisation, engines, clouds, data sources and evaluation.

Importing it needs only numpy, OpenCV and PyYAML; engines and readers import their libraries when they are used.
"""

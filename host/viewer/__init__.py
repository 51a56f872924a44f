"""The page of `moesaic watch`: a stream of frames with what the tasks say about them, and the controls that steer it."""

from moesaic.host.viewer.viewer import Viewer

__all__ = ["Viewer"]

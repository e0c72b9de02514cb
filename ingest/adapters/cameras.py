"""The camera registry in memory: what every reader of the topic `cameras` keeps, wherever the records come from."""

from collections.abc import Iterable

from schemas import wire
from schemas.cameras import Camera


class CameraTable:
    """Cameras by id, key prefix, certificate and vendor's id.

    Of two records of one camera the higher revision wins, whatever their order.
    """

    def __init__(self, cameras: Iterable[Camera] = ()) -> None:
        """Begin with these."""
        self._by_id: dict[str, Camera] = {}
        self._by_prefix: dict[str, Camera] = {}
        self._by_certificate: dict[str, Camera] = {}
        self._by_device: dict[tuple[str | None, str], Camera] = {}
        for camera in cameras:
            self.put(camera)

    def __len__(self) -> int:
        """Return how many cameras there are, retired ones too."""
        return len(self._by_id)

    def get(self, camera_id: str) -> Camera | None:
        """See `ports.Registry.get`."""
        return self._by_id.get(camera_id)

    def by_prefix(self, prefix: str) -> Camera | None:
        """See `ports.Registry.by_prefix`."""
        return self._by_prefix.get(prefix)

    def by_certificate(self, sha256: str) -> Camera | None:
        """See `ports.Registry.by_certificate`."""
        return self._by_certificate.get(sha256)

    def by_device(self, format_: str, device_id: str) -> Camera | None:
        """See `ports.Registry.by_device`."""
        return self._by_device.get((format_, device_id))

    def put(self, camera: Camera) -> None:
        """Take a camera, unless a newer revision of it is here."""
        known = self._by_id.get(camera.camera_id)
        if known is not None:
            if known.revision > camera.revision:
                return
            self._forget_proofs(known)
        self._by_id[camera.camera_id] = camera
        self._by_prefix[camera.key_prefix] = camera
        if camera.certificate_sha256 is not None:
            self._by_certificate[camera.certificate_sha256] = camera
        if camera.device_id is not None:
            named = (camera.format, camera.device_id)
            holder = self._by_device.get(named)
            if camera.active or holder is None or not holder.active:
                self._by_device[named] = camera

    def remove(self, camera_id: str) -> None:
        """Forget a camera: its key opens nothing then."""
        known = self._by_id.pop(camera_id, None)
        if known is not None:
            self._forget_proofs(known)

    def _forget_proofs(self, known: Camera) -> None:
        """Forget how a camera proved itself, unless another one has come to prove itself by the same."""
        for index, name in ((self._by_prefix, known.key_prefix), (self._by_certificate, known.certificate_sha256)):
            if name is not None and name in index and index[name].camera_id == known.camera_id:
                del index[name]
        if known.device_id is not None:
            named = (known.format, known.device_id)
            holder = self._by_device.get(named)
            if holder is not None and holder.camera_id == known.camera_id:
                del self._by_device[named]

    def apply(self, key: bytes | None, value: bytes | None) -> bool:
        """Take one record of the topic; a record without a value (tombstone) removes its camera.

        Return False for a record that can't be read: its camera is removed too, since the last state that we could
        read may be one in which a key was still good.
        """
        camera_id = (key or b"").decode(errors="replace")
        if value is None:
            self.remove(camera_id)
            return True
        try:
            camera = wire.decode(value, Camera)
        except wire.Undecodable:
            self.remove(camera_id)
            return False
        if camera.camera_id != camera_id:
            self.remove(camera_id)
            return False
        self.put(camera)
        return True

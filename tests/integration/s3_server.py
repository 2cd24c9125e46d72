#!/usr/bin/env python3
"""An S3-compatible server of its own kind, S3Proxy, on 127.0.0.1, and a client that is not ours, botocore.

    s3_server.py pin      rewrite s3proxy/checksums.sha256 after a change of s3proxy/pom.xml

Design: S3Proxy keeps objects in a folder and, with `aws-v4`, checks the signature of each request, the digest of its body against
x-amz-content-sha256, and its time: a request that is signed wrongly is refused, as Amazon would. The jars come from Maven as Kafka's
do (deploy/local/kafka/distribution.py). What botocore says of the bucket is what the tests believe.

Invariants: it listens on 127.0.0.1 only; it is ended with the test that started it; a second start on the same folder keeps objects and port.
"""
from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "deploy" / "local" / "kafka"), str(HERE.parents[1] / "deploy" / "local" / "lib")]
import distribution  # noqa: E402  (after the path above)
from proc import Failed, Proc, free_ports, wait_until  # noqa: E402

POM = HERE / "s3proxy" / "pom.xml"
START_S = 60  # A second, when nothing else runs.
STOP_S = 20
# The server may hold a body of 64 MiB and more while it checks it.
JAVA_FLAGS = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Djava.awt.headless=true",
              "-Djava.net.preferIPv4Stack=true"]


@dataclass(frozen=True)
class Keys:
    """What a client signs with. The secret has characters that are special in URLs and in YAML."""
    key: str = "AKIDNODAGTEST"
    secret: str = "se/cr+et=: #4711%2F"

    def write(self, path: Path) -> Path:
        """As nodag reads them; replaced in one step, as a rotation should."""
        new = path.with_name(f"{path.name}.new")
        new.write_text(f"access_key_id: {self.key}\nsecret_access_key: '{self.secret}'\n", encoding="utf-8")
        new.chmod(0o600)
        new.rename(path)
        return path


class S3Server:
    """One server; `folder` has its objects and its log. `settings` are S3Proxy's, over what is needed."""

    def __init__(self, folder: Path, keys: Keys = Keys(), *, settings: dict | None = None):
        self.folder, self.keys, self.port = folder, keys, free_ports(1)[0]
        self._settings, self._proc = settings or {}, None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "S3Server":
        lib = distribution.resolve(pom=POM, what="S3Proxy with Maven (once; about 20 MB)")
        data = self.folder / "objects"
        data.mkdir(parents=True, exist_ok=True)
        settings = {"s3proxy.endpoint": self.endpoint, "s3proxy.authorization": "aws-v4", "s3proxy.identity": self.keys.key,
                    "s3proxy.credential": self.keys.secret, "jclouds.provider": "filesystem-nio2", "jclouds.identity": "none",
                    "jclouds.credential": "none", "jclouds.filesystem.basedir": str(data), **self._settings}
        properties = self.folder / "s3proxy.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="ascii")
        log = self.folder / "s3proxy.log"  # to its error stream it would log what it logs, for ever
        command = [distribution.need("java", "default-jre-headless"), *JAVA_FLAGS, f"-Dorg.slf4j.simpleLogger.logFile={log}", "-cp",
                   distribution.class_path(lib), "org.gaul.s3proxy.Main", "--properties", properties]
        self._proc = Proc.start(command, self.folder / "s3proxy.out", name="S3Proxy", more_logs=[log])
        wait_until(self._serves, START_S, "S3Proxy to serve", self._proc)
        return self

    def _serves(self) -> bool:
        from botocore.exceptions import ClientError, EndpointConnectionError
        try:
            self.client().list_buckets()
        except EndpointConnectionError:
            return False
        except ClientError:
            pass  # it answers
        return True

    def stop(self) -> None:
        if self._proc is not None:
            self._proc.stop(STOP_S)
        self._proc = None

    def client(self, keys: Keys | None = None):
        """botocore's client, straight to the server."""
        from botocore.config import Config
        from botocore.session import Session
        keys = keys or self.keys
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return Session().create_client("s3", region_name="us-east-1", endpoint_url=self.endpoint, aws_access_key_id=keys.key,
                                       aws_secret_access_key=keys.secret, config=config)

    def sizes(self, bucket: str) -> dict[str, int]:
        """The objects of a bucket: key and size."""
        return {item["Key"]: item["Size"] for page in self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket)
                for item in page.get("Contents", ())}

    def read(self, bucket: str, key: str) -> bytes:
        return self.client().get_object(Bucket=bucket, Key=key)["Body"].read()


if __name__ == "__main__":
    if sys.argv[1:] != ["pin"]:
        sys.exit("usage: s3_server.py pin")
    try:
        print(f"pinned {distribution.pin(POM, 'tests/integration/s3_server.py')} jars")
    except Failed as failure:
        sys.exit(f"s3_server: {failure}")

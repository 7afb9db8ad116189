"""Packaging of twisted_rapi: a VM cluster master and its node agents as ``twistd`` plug-ins."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="twisted_rapi",
    version="26.11.0.dev0",
    description="A VM cluster that speaks the Ganeti remote API and the PVC HTTP API, built on Twisted",
    long_description=(Path(__file__).parent / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="MIT",
    python_requires=">=3.11",
    packages=[*find_packages(include=["twisted_rapi", "twisted_rapi.*"]), "twisted.plugins"],
    package_data={
        "twisted_rapi": ["py.typed"],
        "twisted_rapi.state": ["schema/*.sql"],
        "twisted_rapi.agent": ["os/*/*", "os/*/*/*"],
        "twisted_rapi.admin": ["templates/*"],
    },
    install_requires=[
        "twisted[tls,websocket]>=26.10",
        "treq>=26.7",
        "zope.interface>=8",
        "pyopenssl>=25.3",
        "service-identity>=24.2",
        "cryptography>=45",
        "attrs>=25",
        "Automat>=25.4",
        "msgspec>=0.22",
        "google-re2>=1.1",
        "argon2-cffi>=25.1",
        "prometheus-client>=0.24",
    ],
    extras_require={
        "libvirt": ["libvirt-python>=9.0"],
        "test": [
            "hypothesis>=6.150",
            "mypy>=2.4",
            "mypy-zope>=1.0.17",
            "ruff>=0.17",
            "import-linter>=2.16",
            "coverage>=7.17",
            "towncrier>=26.9",
            "openapi-spec-validator>=0.9",
            "schemathesis>=4.32",
            "jsonschema-rs>=0.60",
            "types-setuptools",
        ],
    },
    entry_points={"console_scripts": ["rapi-admin=twisted_rapi.admin.command:main"]},
    zip_safe=False,
)

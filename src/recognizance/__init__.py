"""Recognizance: self-hosted recognition that speaks Rekognition's protocol and answers for what it does."""

__version__ = "0.1.0.dev0"

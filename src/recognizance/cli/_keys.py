"""How an access key is shown."""

from recognizance.governance.keys import NewKey


def environment_block(endpoint: str, region: str, key: NewKey) -> str:
    """Return shell lines after which AWS SDKs and the AWS CLI use this key at this endpoint.

    The region stands twice: boto3 reads ``AWS_DEFAULT_REGION`` only, the JavaScript SDK ``AWS_REGION`` only.
    """
    return (
        f"export AWS_ENDPOINT_URL_REKOGNITION={endpoint}\n"
        f"export AWS_DEFAULT_REGION={region}\n"
        f"export AWS_REGION={region}\n"
        f"export AWS_ACCESS_KEY_ID={key.access_key_id}\n"
        f"export AWS_SECRET_ACCESS_KEY={key.secret_access_key}"
    )

"""``recognizance serve``: the server."""

from rich.markup import escape

from recognizance.cli._keys import environment_block
from recognizance.cli._options import Contract, Data, Host, Json, Models, Port
from recognizance.cli._output import messages, plain_errors, print_json
from recognizance.core import log
from recognizance.core.settings import load_settings
from recognizance.governance.roles import ADMINISTRATOR
from recognizance.operations import Services
from recognizance.wire import server


@plain_errors
def command(
    data: Data = None,
    host: Host = None,
    port: Port = None,
    contract: Contract = None,
    models: Models = None,
    json: Json = False,
) -> None:
    """Serve the Rekognition API.

    It ends at Ctrl-C or SIGTERM, after the requests that were begun.

    On the first start in an empty data folder an administrator's access key is made and shown, once. With --json the
    URL, and that key where one is made, are printed as one JSON document as soon as the server accepts requests.
    """
    settings = load_settings(data=data, host=host, port=port, contract=contract, models=models)
    log.configure(settings)
    services = Services.open(settings)
    try:
        services.analysers.default()  # loads the models: a server without any would answer errors only
        services.collections.keep_up(load=True)
        server.run(services, settings, lambda url: _announce(url, services, json=json))
    finally:
        services.close()


def _announce(url: str, services: Services, *, json: bool) -> None:
    # Not before the server accepts requests: a key made by a start that failed would never be seen again.
    first_key = None if services.keys.list() else services.keys.create(ADMINISTRATOR)
    if json:
        shown = {"Endpoint": url}
        if first_key is not None:
            shown |= {"AccessKeyId": first_key.access_key_id, "SecretAccessKey": first_key.secret_access_key}
        print_json(shown)
        return
    out = messages()
    if first_key is not None:
        out.print("\nThis data folder is new. Its first access key may do everything; it is shown only now:\n")
        out.print(escape(environment_block(url, services.settings.region, first_key)), soft_wrap=True)
        out.print("\nPaste these lines into a shell, and every AWS SDK and CLI in it talks to this server:")
        out.print("  aws rekognition list-collections", style="bold")
    out.print(f"\nServing the Rekognition API at [bold]{url}[/bold]. Ctrl-C ends it.\n")

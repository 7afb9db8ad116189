"""``/2/openapi.json``: all of the API as an OpenAPI document, made from the tables it is served from."""

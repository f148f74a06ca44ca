def content_security_policy(get_response):
    """Let browsers load and run only files of this server."""

    def add_header(request):
        response = get_response(request)
        response["Content-Security-Policy"] = "default-src 'self'; img-src 'self' data:"
        return response

    return add_header

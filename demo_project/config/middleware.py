def content_security_policy(get_response):
    """Let browsers run and show nothing but what this server sends in files of its own."""

    def add_header(request):
        response = get_response(request)
        response["Content-Security-Policy"] = "default-src 'self'; img-src 'self' data:"
        return response

    return add_header

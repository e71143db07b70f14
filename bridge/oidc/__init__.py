"""The sign-in of operators at an OpenID Connect provider: authorization code flow with PKCE, state and nonce.

    outcome    what a sign-in ends with: an operator, or the reason of a refusal
    roles      the role and the name of an operator, from the claims of the ID token
    attempts   a sign-in that has begun, kept by the browser that began it
    metadata   read the discovery document of a provider
    id_token   verify an ID token
    provider   ask the provider

Only `id_token` and `provider` need the libraries of the extra `oidc`. No other package knows them.
"""

// Shows openapi.json, and lets people log in with an API client and try every call.

// The folder of this page is where the server is, also behind a proxy that it knows nothing of.
const server = new URL('.', document.baseURI).href.replace(/\/$/, '');

// The page shows the whole URL of the server, and asks there for tokens.
function placeServer(response) {
    if (response.url === `${server}/openapi.json`) {
        const description = JSON.parse(response.text);
        const { flows } = description.components.securitySchemes.client_credentials;
        description.servers = [{ url: server }];
        flows.clientCredentials.tokenUrl = `${server}/token`;
        response.text = JSON.stringify(description);
    }
    return response;
}

window.ui = SwaggerUIBundle({
    url: 'openapi.json',
    dom_id: '#swagger-ui',
    deepLinking: true,
    presets: [SwaggerUIBundle.presets.apis],
    layout: 'BaseLayout',
    validatorUrl: null,
    tryItOutEnabled: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
    responseInterceptor: placeServer,
});

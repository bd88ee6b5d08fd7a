// Shows openapi.json, and lets people log in with an API client and try every call.

// The folder of this page is where the server is, also behind a proxy that it knows nothing of.
const server = new URL('.', document.baseURI).href.replace(/\/$/, '');

const howToBegin = `

To try it, click *Authorize*, fill in the id and secret of an API client, and execute the calls as they
are filled in. They are about one contact: create it, find it, change it, delete it.`;

// The page shows the whole URL of the server, asks there for tokens, and tells how to begin.
function adaptDocument(text) {
    const description = JSON.parse(text);
    const { flows } = description.components.securitySchemes.client_credentials;
    description.servers = [{ url: server }];
    description.info.description += howToBegin;
    flows.clientCredentials.tokenUrl = `${server}/token`;
    return JSON.stringify(description);
}

// The dialog shows error and error_description (RFC 6749, 5.2) of a refusal; the words are in detail.
function explainRefusal(text) {
    const refusal = JSON.parse(text);
    return JSON.stringify({ ...refusal, error_description: refusal.detail });
}

function isRefusedLogin(response) {
    return response.url === `${server}/token` && response.status === 400
        && response.headers['content-type'] === 'application/json'
        && document.querySelector('.modal-ux') !== null;
}

function adaptResponse(response) {
    if (response.url === `${server}/openapi.json` && response.ok) {
        response.text = adaptDocument(response.text);
    } else if (isRefusedLogin(response)) {
        response.text = response.data = explainRefusal(response.text);
    }
    return response;
}

// The dialog has a form for each kind of authorization, and each takes the focus when it appears, so
// the last has it. The first, that for API clients, is the one that people need.
function showFirstForm() {
    const forms = document.querySelector('.modal-ux-content');
    if (forms && !forms.dataset.isShown) {
        forms.dataset.isShown = 'true';
        forms.querySelector('.auth-container input[type=text]')?.focus();
        forms.scrollTop = 0;
    }
}
new MutationObserver(showFirstForm).observe(document.querySelector('#swagger-ui'),
    { childList: true, subtree: true });

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
    responseInterceptor: adaptResponse,
});

// Swagger UI on the API page. In a file of its own: the site's policy allows no inline script.

const place = document.querySelector("#api");
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Return the value of a cookie that scripts may read; undefined where there is none. */
function cookie(name) {
  const found = document.cookie.split("; ").find((pair) => pair.startsWith(`${name}=`));
  return found && decodeURIComponent(found.slice(name.length + 1));
}

/** Send the CSRF token as this site's own pages do. A request with a token needs none. */
function withCsrfToken(request) {
  if (request.method && request.method !== "GET" && !request.headers.Authorization) {
    request.headers["X-CSRFToken"] = cookie("csrftoken") ?? "";
  }
  return request;
}

/** Follow the system's colours; Swagger UI goes by a class. */
function followColours() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

followColours();
dark.addEventListener("change", followColours);

window.SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayOperationId: true,
  tryItOutEnabled: true,
  requestInterceptor: withCsrfToken,
});

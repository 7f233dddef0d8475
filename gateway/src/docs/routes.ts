import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { type DialectName, dialectNames, type ServiceName } from '@fleetgate/contracts'
import { dialects } from '@fleetgate/kit'
import { Router } from 'express'
import { createDocuments } from './collect.js'

const assetFolder = dirname(createRequire(import.meta.url).resolve('swagger-ui-dist/package.json'))
const assets = ['swagger-ui.css', 'swagger-ui-bundle.js', 'swagger-ui-standalone-preset.js', 'favicon-32x32.png']

/** The page may load and ask nothing but this gateway. Swagger UI sets style attributes, hence their exception. */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'"
].join('; ')

/** The API reference at /docs: Swagger UI from this package's own files, and one OpenAPI document per dialect. */
export function docsRoutes(services: Record<ServiceName, string>): Router {
  const documentOf = createDocuments(services)
  const router = Router({ caseSensitive: true })
  router.use('/docs', (_req, res, next) => {
    res.set({
      'content-security-policy': policy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer'
    })
    next()
  })
  router.get('/docs', (_req, res) => void res.type('html').send(page))
  router.get('/docs/assets/start.js', (_req, res) => void res.type('js').send(start))
  router.get('/docs/assets/:name', (req, res, next) => {
    if (!assets.includes(req.params.name)) return next()
    res.sendFile(req.params.name, { root: assetFolder, maxAge: '1h' }, (error) => error && next(error))
  })
  router.get('/docs/:name.json', async (req, res, next) => {
    const name = dialectNames.find((known) => known === req.params.name)
    if (!name) return next()
    res.json(await documentOf(name))
  })
  return router
}

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fleetgate API reference</title>
<link rel="icon" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="reference"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/swagger-ui-standalone-preset.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
`

const documents = dialectNames.map((name: DialectName) => ({ url: `/docs/${name}.json`, name: dialects[name].title }))

// `validatorUrl: null` turns off the badge that would send the document's address to swagger.io.
const start = `window.onload = () => {
  window.ui = SwaggerUIBundle({
    dom_id: '#reference',
    urls: ${JSON.stringify(documents)},
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
    layout: 'StandaloneLayout',
    deepLinking: true,
    docExpansion: 'none',
    queryConfigEnabled: false,
    validatorUrl: null
  })
}
`

import { createHash } from 'node:crypto'

export interface PageParts {
  /** Where the assets of this build are, without a slash at the end. */
  assets: string
  /** Names of the console's modules, without which the page would ask for one after the other. */
  modules: readonly string[]
  /** What a bare import means, below the assets. */
  imports: Record<string, string>
}

export interface ConsolePage {
  html: string
  /** Its content security policy: only what this gateway serves, and the one import map of the page itself. */
  policy: string
}

/** The page of the console: its modules are loaded as they are, bare imports by an import map. */
export function consolePage({ assets, modules, imports }: PageParts): ConsolePage {
  const located = Object.entries(imports).map(([name, file]) => [name, `${assets}/${file}`])
  const map = JSON.stringify({ imports: Object.fromEntries(located) })
  const preloads = [...Object.values(imports), ...modules].map(
    (file) => `<link rel="modulepreload" href="${assets}/${file}">`
  )
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Fleetgate</title>
<link rel="icon" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="${assets}/console.css">
<script type="importmap">${map}</script>
${preloads.join('\n')}
</head>
<body>
<div id="console"></div>
<script type="module" src="${assets}/app/main.js"></script>
<noscript>The console needs JavaScript; the API reference is at /docs.</noscript>
</body>
</html>
`
  return { html, policy: policyOf(map) }
}

function policyOf(importMap: string): string {
  const hash = createHash('sha256').update(importMap).digest('base64')
  return [
    "default-src 'none'",
    `script-src 'self' 'sha256-${hash}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'"
  ].join('; ')
}

import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Router } from 'express'
import { consolePage } from './page.js'

const folder = fileURLToPath(new URL('../../../console/', import.meta.url))

/** What a bare import of the console means, and the file of the package that is served for it. */
const libraries: Record<string, string> = {
  preact: 'lib/preact.js',
  'preact/hooks': 'lib/hooks.js',
  'preact/jsx-runtime': 'lib/jsxRuntime.js',
  'preact-iso/router': 'lib/router.js'
}

/**
 * The console at /console: the product for people, over the same APIs; `/` leads there. Every path below it that is no asset is a place in
 * the console, and answers its page.
 */
export function consoleRoutes(): Router {
  const files = readAssets()
  const build = buildOf(files)
  const modules = [...files.keys()].filter((name) => name.startsWith('app/'))
  const { html, policy } = consolePage({ assets: `/console/assets/${build}`, modules, imports: libraries })
  const router = Router({ caseSensitive: true })
  router.use('/console', (_req, res, next) => {
    res.set({
      'content-security-policy': policy,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer'
    })
    next()
  })
  router.get('/console/assets/:build/*file', (req, res, next) => {
    const name = ([] as string[]).concat(req.params.file).join('/')
    const content = files.get(name)
    if (!content) return next()
    // While replicas are replaced, one may be asked for the files of another build: then they are not to be kept.
    res.set('cache-control', req.params.build === build ? 'public, max-age=31536000, immutable' : 'no-store')
    res.type(name.endsWith('.css') ? 'css' : 'js').send(content)
  })
  router.get('/', (_req, res) => res.redirect('/console'))
  router.get(['/console', '/console/*place'], (req, res, next) => {
    if (req.path.startsWith('/console/assets/')) return next()
    res.set('cache-control', 'no-cache').type('html').send(html)
  })
  return router
}

/** All files by their names below the assets; there are few, and they are small. */
function readAssets(): Map<string, Buffer> {
  const compiled = join(folder, 'dist')
  const modules = readdirSync(compiled, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path): [string, Buffer] => [`app/${relative(compiled, path).split(sep).join('/')}`, readFileSync(path)])
  const parts = Object.entries(libraries).map(([name, file]): [string, Buffer] => [
    file,
    readFileSync(libraryFile(name))
  ])
  return new Map([['console.css', readFileSync(join(folder, 'console.css'))], ...parts, ...modules.sort()])
}

function libraryFile(name: string): URL {
  return new URL(import.meta.resolve(name))
}

function buildOf(files: ReadonlyMap<string, Buffer>): string {
  const hash = createHash('sha256')
  for (const [name, content] of files) hash.update(`${name}\0`).update(content).update('\0')
  return hash.digest('hex').slice(0, 12)
}

/** The console as a browser loads it: what its page names is there, and nothing else may run in it. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { startGateway } from './setup.js'

const gateway = await startGateway(t, {})
const ask = (path: string) => fetch(gateway.url + path, { redirect: 'manual' })
const page = await ask('/console')
const html = await page.text()
const assets = /\/console\/assets\/\w+/.exec(html)?.[0] ?? ''
const importMap = /<script type="importmap">(.*?)<\/script>/.exec(html)?.[1] ?? ''

t.test('its page runs only what this gateway serves', async (t) => {
  t.equal(page.headers.get('cache-control'), 'no-cache')
  const policy = page.headers.get('content-security-policy') ?? ''
  const hash = createHash('sha256').update(importMap).digest('base64')
  t.match(policy, `script-src 'self' 'sha256-${hash}';`)
  t.notMatch(policy, 'unsafe')
  t.match(policy, "frame-ancestors 'none'")
  t.equal(html.match(/<script/g)?.length, 2, 'the import map, and the one module that begins')
})

t.test('every module that its page names is there, and so is all that they import', async (t) => {
  const { imports } = JSON.parse(importMap) as { imports: Record<string, string> }
  const named = [...html.matchAll(/(?:href|src)="(\/console\/[^"]+)"/g)].map(([, path = '']) => path)
  t.ok(named.length > 30)
  for (const path of new Set(named)) {
    const answer = await ask(path)
    t.equal(answer.status, 200, path)
    t.match(answer.headers.get('cache-control'), /immutable/)
    if (!path.endsWith('.js')) continue
    t.match(answer.headers.get('content-type'), /javascript/)
    const source = await answer.text()
    for (const [, wanted = ''] of source.matchAll(/\bfrom\s*['"]([^'"]+)['"]/g)) {
      const found = wanted.startsWith('.') ? new URL(wanted, gateway.url + path).pathname : imports[wanted]
      t.ok(found && named.includes(found), `${wanted} of ${path}`)
    }
  }
})

t.test('places in the console are its page, and what is not there is told', async (t) => {
  for (const path of ['/console/', '/console/machines/7?page=2', '/console/runs/1/a%2Fb']) {
    t.equal(await (await ask(path)).text(), html, path)
  }
  const front = await ask('/')
  t.match([front.status, front.headers.get('location')], [302, '/console'])
  t.equal((await ask(`${assets}/app/nothing.js`)).status, 404)
  t.equal((await ask(`${assets}/app/..%2F..%2Fpackage.json`)).status, 400)
  t.equal((await ask('/Console')).status, 404)
  const older = await ask('/console/assets/0123456789ab/app/main.js')
  t.match([older.status, older.headers.get('cache-control')], [200, 'no-store'], 'a page of another build')
})

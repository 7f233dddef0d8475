import { connectBus } from '@fleetgate/kit'
import { openStore } from '@fleetgate/store'
import { quietLog, startParts, testGuardKeys } from '@fleetgate/testkit'
import t from 'tap'
import { createDashboardStore } from '../src/dashboards/dashboardStore.js'
import { createImages } from '../src/images/image.js'
import { createImageStore } from '../src/images/imageStore.js'
import { imageTypeOf } from '../src/images/imageType.js'
import { add, type Failure, serveKeys, startDevicesFor } from './support.js'
import { dataOf } from './things.js'

const parts = await startParts(t)
const keys = testGuardKeys()
await serveKeys(t, parts, keys)
const maxSize = 1_500_000
const api = await startDevicesFor(t, parts, { MAX_IMAGES_SIZE: String(maxSize) })
const admin = api.as(keys.token())
const store = await openStore({ uri: parts.mongoUri, database: 'fleetgate_devices', log: quietLog })
t.teardown(() => store.close())
const bus = await connectBus({ name: 'test', url: parts.natsUrl, log: quietLog })
t.teardown(() => bus.close())
const dashboards = createDashboardStore({ store, bus, log: quietLog, now: Date.now })
const imageStore = createImageStore({ store })
const dayMs = 24 * 60 * 60_000
const at = (later: number) => createImages({ store: imageStore, dashboards, maxSize, now: () => Date.now() + later })

interface Config {
  key: string
  upload_url: string
  resource_url: string
}
const offer = async (session = admin) =>
  dataOf<Config>(await session.post('/resource/upload-config', { file_name: 'plan of the hall.png' }))

/** As the web client sends it: without a token. */
async function put(url: string, body: Uint8Array<ArrayBuffer> | string, type = 'image/png') {
  const reply = await fetch(api.baseUrl + url, { method: 'PUT', headers: { 'content-type': type }, body })
  return { status: reply.status, body: (await reply.json()) as Failure }
}
const show = (url: string) => fetch(api.baseUrl + url)

const signature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
function png(size = 100, fill = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size).fill(fill)
  bytes.set(signature)
  return bytes
}
const svg = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'

await t.test('an image gets an address, is put there once and shown to who knows it', async (t) => {
  const { key, upload_url, resource_url } = await offer()
  t.match(upload_url, /^\/db-resource\/public\/[A-Za-z0-9_-]{32}$/)
  t.equal(resource_url, upload_url)
  t.equal(`/db-resource/${key}`, upload_url)
  t.equal((await show(resource_url)).status, 404, 'not there yet')
  t.match(await put(upload_url, png()), { status: 200, body: { status: 'Success' } })
  const shown = await show(resource_url)
  t.same(new Uint8Array(await shown.arrayBuffer()), png())
  t.match(Object.fromEntries(shown.headers), {
    'content-type': 'image/png',
    'content-disposition': 'inline',
    'x-content-type-options': 'nosniff'
  })
  t.equal((await put(upload_url, png())).status, 200, 'the same again changes nothing')
  const { upload_url: hasty } = await offer()
  const same = await Promise.all([1, 2, 3, 4].map(() => put(hasty, png(300))))
  t.same(
    same.map(({ status }) => status),
    [200, 200, 200, 200],
    'nor does it at the same moment'
  )
  t.match(await put(upload_url, png(101)), { status: 409 }, 'nobody puts another one there')
  t.equal((await (await show(resource_url)).arrayBuffer()).byteLength, 100)
})

await t.test('the type is what the bytes are, and an SVG runs nothing', async (t) => {
  const { upload_url } = await offer()
  for (const [body, type] of [
    ['<html><svg></svg></html>', 'image/svg+xml'],
    ['', 'image/png'],
    ['GIF8', 'image/gif']
  ] as const) {
    t.match(await put(upload_url, body, type), { status: 400, body: { error_message: /no PNG, JPEG/ } })
  }
  t.equal((await show(upload_url)).status, 404)
  t.equal((await put(upload_url, svg, 'text/html')).status, 200)
  const { headers } = await show(upload_url)
  t.equal(headers.get('content-type'), 'image/svg+xml')
  t.equal(headers.get('content-disposition'), 'attachment')
  t.match(headers.get('content-security-policy'), /default-src 'none'.*sandbox/)
  const types = ['\xff\xd8\xff\xe0', 'GIF89a..', 'RIFF....WEBPVP8 ', 'RIFF....WAVE', '<svg>', '\xff', 'svg']
  t.same(
    types.map((text) => imageTypeOf(Buffer.from(text, 'latin1'))),
    ['image/jpeg', 'image/gif', 'image/webp', undefined, 'image/svg+xml', undefined, undefined]
  )
})

await t.test('refuses what is too large, too late, without a place, or without the right to one', async (t) => {
  const { upload_url } = await offer()
  t.match(await put(upload_url, png(1024 * 1024 + 1)), { status: 413 })
  t.equal((await put(`/db-resource/public/${'x'.repeat(32)}`, png())).status, 404)
  t.equal((await put('/db-resource/public/short', png())).status, 400)
  const id = upload_url.slice('/db-resource/public/'.length)
  await t.rejects(
    at(16 * 60_000).put(id, async () => Buffer.from(png())),
    { code: 'not_found' }
  )
  for (const body of [{}, { file_name: ' ' }, { file_name: 'x'.repeat(256) }]) {
    t.equal((await admin.post('/resource/upload-config', body)).status, 400, JSON.stringify(body))
  }
  const viewer = api.as(keys.token({ userId: '9', codes: ['dashboard.view'] }))
  t.equal((await viewer.post('/resource/upload-config', { file_name: 'a' })).status, 403)
  t.equal((await api.post('/resource/upload-config', { file_name: 'a' })).status, 401)
})

await t.test('a tenant has so many bytes, and so many places at a time', async (t) => {
  const tenant = api.as(keys.token({ tenantId: 'full' }))
  const large = png(900_000, 1)
  t.equal((await put((await offer(tenant)).upload_url, large)).status, 200)
  const { upload_url } = await offer(tenant)
  t.match(await put(upload_url, png(900_000, 2)), { status: 400, body: { error_message: /1500000 bytes/ } })
  t.equal((await show(upload_url)).status, 404)
  t.equal((await put((await offer()).upload_url, large)).status, 200, 'others have their own')
  const many = api.as(keys.token({ tenantId: 'many' }))
  for (let i = 0; i < 100; i++) await offer(many)
  t.match(await many.post('/resource/upload-config', { file_name: 'a' }), { status: 400 })
})

await t.test('what no dashboard of its tenant names goes after a day', async (t) => {
  const tenant = api.as(keys.token({ tenantId: 'used' }))
  const other = api.as(keys.token({ tenantId: 'other' }))
  const urls: string[] = []
  for (let i = 0; i < 3; i++) {
    const { upload_url } = await offer(tenant)
    t.equal((await put(upload_url, png(200, i))).status, 200)
    urls.push(upload_url)
  }
  const [used = '', unused = '', elsewhere = ''] = urls
  const widgets = (url: string) => [{ data: { type: 'image', config: { dataType: 'upload', file: { url } } } }]
  const own = await add(tenant, 'D')
  dataOf((await tenant.put(`/dashboard/${own}`, { name: 'D', widgets: widgets(used) })) as never)
  const foreign = await add(other, 'D')
  dataOf((await other.put(`/dashboard/${foreign}`, { name: 'D', widgets: widgets(elsewhere) })) as never)
  const states = async () => Promise.all(urls.map(async (url) => (await show(url)).status))
  await at(0).clean()
  t.same(await states(), [200, 200, 200], 'a dashboard may be at work')
  await at(dayMs + 60_000).clean()
  t.same(await states(), [200, 404, 404], unused)
  dataOf((await tenant.delete(`/dashboard/${own}`)) as never)
  await at(dayMs + 60_000).clean()
  t.same(await states(), [404, 404, 404])
})

import { defaultBodyLimit, type Route, raw, route, Type, takeBody, uploadedPath } from '@fleetgate/kit'
import { orNull } from '../beaverIds.js'
import type { Images } from './image.js'

const ByName = Type.Object({ name: Type.String({ pattern: '^[A-Za-z0-9_-]{32}$' }) })
const Wish = Type.Object({
  file_name: Type.String({ minLength: 1, maxLength: 255, pattern: '\\S' }),
  name: orNull<string>({ type: 'string', maxLength: 255 }),
  description: orNull<string>({ type: 'string', maxLength: 1024 })
})
/** What stands in an SVG is shown and not run, wherever it is opened. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

/** Beaver IoT 1.2's: the address first, then the bytes, which the web client sends without a token. */
export function imageRoutes(images: Images): Route[] {
  const path = `${uploadedPath}:name`
  return [
    route({
      method: 'post',
      path: '/resource/upload-config',
      summary: 'An address for an image, good for 15 minutes; the image is then shown from there',
      needs: ['dashboard.edit', 'dashboard.add'],
      body: Wish,
      reply: Type.Object({ key: Type.String(), upload_url: Type.String(), resource_url: Type.String() }),
      handle: async ({ caller }) => {
        const url = uploadedPath + (await images.offer(caller))
        return { key: url.replace('/db-resource/', ''), upload_url: url, resource_url: url }
      }
    }),
    route({
      method: 'put',
      path,
      summary: 'Put an image (PNG, JPEG, GIF, WebP, SVG, up to 1 MB) at the address that was given for it',
      needs: 'public',
      params: ByName,
      handle: ({ params, request }) => images.put(params.name, () => takeBody(request.stream, defaultBodyLimit))
    }),
    route({
      method: 'get',
      path,
      summary: 'An image of a dashboard',
      needs: 'public',
      params: ByName,
      handle: async ({ params }) => {
        const { type, bytes } = await images.get(params.name)
        return raw({ headers: headersOf(type), body: bytes })
      }
    })
  ]
}

function headersOf(type: string): Record<string, string> {
  return {
    'content-type': type,
    'content-disposition': type === 'image/svg+xml' ? 'attachment' : 'inline',
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'cache-control': 'private, max-age=86400'
  }
}

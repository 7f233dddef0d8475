import { createHash, randomBytes } from 'node:crypto'
import { AppError, type Caller } from '@fleetgate/kit'
import type { DashboardStore } from '../dashboards/dashboardStore.js'
import type { Image, ImageStore } from './imageStore.js'
import { imageTypeOf } from './imageType.js'

export interface ImagesOptions {
  store: ImageStore
  dashboards: Pick<DashboardStore, 'imagesNamed'>
  /** Bytes of all images of a tenant. */
  maxSize: number
  now: () => number
}

export type Images = ReturnType<typeof createImages>

/** As the real system has it: within this time the bytes come. */
const placeLifeMs = 15 * 60_000
/** Of one tenant, open at a time. */
const maxPlaces = 100
/** A dashboard that is being edited names an image before it is saved. */
const unusedForMs = 24 * 60 * 60_000
const removedAtOnce = 200

/**
 * Images that people put on dashboards. An address that nobody can guess is given out first; who knows it may put the image there,
 * once, and look at it, because pages show images without a token. What no dashboard names goes after a day.
 */
export function createImages({ store, dashboards, maxSize, now }: ImagesOptions) {
  /** Callers at the same moment may overshoot, by as much as the open places take. */
  async function checkSize(tenantId: string, more: number): Promise<void> {
    if ((await store.sizeOf(tenantId)) + more <= maxSize) return
    throw new AppError('quota_exceeded', `the images of all dashboards have ${maxSize} bytes at most`)
  }

  async function removeUnused(tenantId: string, ids: string[]): Promise<void> {
    const named = await dashboards.imagesNamed(tenantId, ids)
    const unused = ids.filter((id) => !named.has(id))
    if (unused.length > 0) await store.remove(tenantId, unused)
  }

  return {
    /** Answers the id of a new place. */
    async offer({ tenantId, userId }: Caller): Promise<string> {
      const createdAt = now()
      if ((await store.countPlaces(tenantId, createdAt)) >= maxPlaces) {
        throw new AppError('quota_exceeded', `${maxPlaces} uploads are open already`)
      }
      await checkSize(tenantId, 1)
      const id = randomBytes(24).toString('base64url')
      await store.insert({ id, tenantId, userId, createdAt, expiresAt: createdAt + placeLifeMs })
      return id
    },

    /** The same bytes may come twice; others are refused then. The bytes are read once it is known that they are welcome. */
    async put(id: string, read: () => Promise<Buffer>): Promise<void> {
      const place = await store.find(id, now())
      if (!place) throw noSuchImage()
      const bytes = await read()
      const sha256 = createHash('sha256').update(bytes).digest('hex')
      if (place.sha256 === sha256) return
      const type = imageTypeOf(bytes)
      if (!type) {
        throw new AppError('invalid_input', 'body is no PNG, JPEG, GIF, WebP or SVG image', { field: 'body' })
      }
      if (place.sha256 === undefined) {
        await checkSize(place.tenantId, bytes.length)
        if (await store.fill(id, { type, bytes, sha256 })) return
        // Somebody was faster, perhaps the same client that did not wait.
        if ((await store.find(id, now()))?.sha256 === sha256) return
      }
      throw new AppError('conflict', 'there is another image at this address already')
    },

    async get(id: string): Promise<Pick<Image, 'type' | 'bytes'>> {
      const image = await store.read(id)
      if (!image) throw noSuchImage()
      return image
    },

    /** Places whose time is over, and images that no dashboard names any more. */
    async clean(): Promise<void> {
      await store.removeExpired(now())
      const byTenant = new Map<string, string[]>()
      for await (const { id, tenantId } of store.listOlder(now() - unusedForMs)) {
        const ids = [...(byTenant.get(tenantId) ?? []), id]
        byTenant.set(tenantId, ids.length < removedAtOnce ? ids : [])
        if (ids.length === removedAtOnce) await removeUnused(tenantId, ids)
      }
      for (const [tenantId, ids] of byTenant) await removeUnused(tenantId, ids)
    }
  }
}

function noSuchImage(): AppError {
  return new AppError('not_found', 'there is no such image')
}

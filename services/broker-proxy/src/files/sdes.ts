import {
  AppError,
  type Raw,
  type RequestInfo,
  type Route,
  raw,
  route,
  SdesPage,
  type Static,
  sdesPaging,
  sdesRange,
  Type,
  toSdesPage
} from '@fleetgate/kit'
import { type ByteRange, parseRange } from './byteRange.js'
import type { FileRow } from './fileStore.js'
import type { Library } from './library.js'

const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
const BySha256 = Type.Object({ sha256: Sha256 })
const FileName = Type.String({ minLength: 1, maxLength: 240, pattern: '^[^\\u0000-\\u001f/\\\\]+$' })
const FileQuery = Type.Object({ ...sdesPaging, fileNameContain: Type.Optional(Type.String({ maxLength: 240 })) })
const UploadQuery = Type.Object({ fileName: FileName, sha256: Type.Optional(Sha256) })
const Row = Type.Object({
  sha256: Sha256,
  fileName: Type.String(),
  size: Type.Integer(),
  createdAt: Type.Number()
})

/** Ours: the document has file steps but no files. */
export function fileRoutes(library: Library): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/files',
      summary: 'List stored files, the newest first',
      needs: 'job.view',
      query: FileQuery,
      reply: SdesPage(Row),
      handle: async ({ query, caller }) => {
        const filter = { tenantId: caller.tenantId, nameContain: query.fileNameContain }
        const found = await library.list(filter, sdesRange(query))
        return toSdesPage({ ...found, items: found.items.map(toRow) })
      }
    }),
    route({
      method: 'post',
      path: '/v1/files',
      summary:
        'Store the body as a file, which steps may name as `store:<fileName>`; content that is there already keeps its name in lists',
      needs: 'job.edit',
      query: UploadQuery,
      reply: Row,
      handle: async ({ query, caller, request }) =>
        toRow(await upload(library, { ...query, tenantId: caller.tenantId }, request))
    }),
    route({
      method: 'get',
      path: '/v1/files/:sha256/details',
      summary: 'Read the facts of one file',
      needs: 'job.view',
      params: BySha256,
      reply: Row,
      handle: async ({ params, caller }) => toRow(await library.get(caller.tenantId, params.sha256))
    }),
    route({
      method: 'get',
      path: '/v1/files/:sha256',
      summary: 'Download a file, or the part that `Range` names',
      needs: 'job.view',
      params: BySha256,
      handle: async ({ params, caller, request }) =>
        download(library, await library.get(caller.tenantId, params.sha256), request)
    }),
    route({
      method: 'delete',
      path: '/v1/files/:sha256',
      summary: 'Delete a file; steps that still want it fail',
      needs: 'job.edit',
      params: BySha256,
      reply: Type.Literal('success'),
      handle: async ({ params, caller }) => {
        await library.retire(caller.tenantId, params.sha256)
        return 'success' as const
      }
    })
  ]
}

function toRow({ sha256, name, size, createdAt }: FileRow): Static<typeof Row> {
  return { sha256, fileName: name, size, createdAt }
}

type Wish = Static<typeof UploadQuery> & { tenantId: string }

function upload(library: Library, { tenantId, fileName, sha256 }: Wish, request: RequestInfo): Promise<FileRow> {
  const { headers, stream } = request
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new AppError('malformed_body', 'a content encoding is not supported', { field: 'content-encoding' })
  }
  const length = headers['content-length']
  const size = length === undefined ? undefined : Number(length)
  return library.upload({ tenantId, name: fileName, sha256, size, stream })
}

function download(library: Library, file: FileRow, { headers }: RequestInfo): Raw {
  const { sha256, size, name } = file
  const etag = `"${sha256}"`
  const always = { ETag: etag, 'Accept-Ranges': 'bytes', 'Cache-Control': 'private, no-cache' }
  if (headers['if-none-match']?.includes(etag)) return raw({ status: 304, headers: always })
  const isSame = headers['if-range'] === undefined || headers['if-range'] === etag
  const range = isSame ? parseRange(headers.range, size) : undefined
  if (range === 'unsatisfiable') {
    const body = { code: 'INVALID_INPUT', message: `the file has ${size} bytes`, field: 'range' }
    return raw({ status: 416, headers: { ...always, 'Content-Range': `bytes */${size}` }, body })
  }
  const { start, end }: ByteRange = range ?? { start: 0, end: size }
  return raw({
    status: range ? 206 : 200,
    headers: {
      ...always,
      ...(range ? { 'Content-Range': `bytes ${start}-${end - 1}/${size}` } : {}),
      'Content-Length': end - start,
      'Content-Type': 'application/octet-stream',
      'Content-Disposition': `attachment; filename*=UTF-8''${encodeURIComponent(name)}`,
      'X-Content-Type-Options': 'nosniff'
    },
    body: library.read(file, start, end)
  })
}

import { ApiError, ask, query, send } from '../api.js'
import { useMay } from '../session/me.js'
import { Filters } from '../ui/filters.js'
import { Act, Button, Field, useForm } from '../ui/form.js'
import { Page, Section } from '../ui/page.js'
import { usePlace } from '../ui/place.js'
import { Paged, pageSize } from '../ui/table.js'
import { Ago, bytes } from '../ui/time.js'
import { useData } from '../ui/useData.js'
import { type StoredFile, upload } from './upload.js'

export function FilesPage() {
  const may = useMay()
  const { page, filters, toPage, filter } = usePlace()
  const path = `/v1/files${query({ fileNameContain: filters.name, pageNo: page, pageSize })}`
  const loaded = useData<{ total: number; list: StoredFile[] }>(path)
  const form = useForm(async (_texts, element) => {
    const file = new FormData(element).get('file')
    if (file instanceof File) await upload(file)
    element.reset()
    loaded.reload()
  })
  const remove = async (sha256: string) => {
    await ask(`/v1/files/${sha256}`, { method: 'DELETE' })
    loaded.reload()
  }
  return (
    <Page title="Files">
      <Filters values={filters} onChange={filter} texts={{ name: 'name contains' }} />
      <Paged
        loaded={loaded}
        page={page}
        onPage={toPage}
        keyOf={({ sha256 }) => sha256}
        empty="no files"
        columns={{
          File: ({ fileName }) => fileName,
          Size: ({ size }) => bytes(size),
          Stored: ({ createdAt }) => <Ago at={createdAt} />,
          'SHA-256': ({ sha256 }) => <code title={sha256}>{sha256.slice(0, 12)}</code>,
          '': (file) => (
            <>
              <Act act={() => download(file)}>Download</Act>
              {may('job.edit') && (
                <Act act={() => remove(file.sha256)} confirm="Really delete?">
                  Delete
                </Act>
              )}
            </>
          )
        }}
      />
      {may('job.edit') && (
        <Section title="Store a file">
          <form {...form.props}>
            <Field name="file" label="File" type="file" required />
            <Button form={form}>Store</Button>
          </form>
        </Section>
      )}
    </Page>
  )
}

/** By a link to what was fetched, because the token travels in a header. */
async function download({ sha256, fileName }: StoredFile): Promise<void> {
  const response = await send(`/v1/files/${sha256}`)
  if (!response.ok) throw new ApiError(response.status, `refused with status ${response.status}`)
  const link = document.createElement('a')
  link.href = URL.createObjectURL(await response.blob())
  link.download = fileName
  link.click()
  URL.revokeObjectURL(link.href)
}

// The tools, and who serves them.
import { Failed, PageFrame, useLoaded, Waiting, WideTable } from "./lists";
import { Icon } from "./parts";
import { Said } from "./text";
import type { Page, Tool } from "./types";

export function Tools() {
  const { value, failure } = useLoaded<Page<Tool>>("/api/tools");
  const tools = value?.items;
  return (
    <PageFrame title="Tools" about={tools && `${tools.length} offered`}>
      <Failed failure={failure} />
      {!tools ? (
        !failure && <Waiting />
      ) : tools.length === 0 ? (
        <p class="dim">Nobody offers a tool yet. Workers do, with a tools file or Go code.</p>
      ) : (
        <WideTable>
          <table class="tbl">
            <thead>
              <tr>
                <th>Tool</th>
                <th>What it says of itself</th>
                <th>Run by</th>
                <th>Served</th>
              </tr>
            </thead>
            <tbody>
              {tools.map((t) => (
                <tr key={t.name}>
                  <td class="mono whole">
                    <b>
                      <Said text={t.name} />
                    </b>
                  </td>
                  <td class="whole">
                    <Said text={t.description} most={300} />
                  </td>
                  <td data-of="run by">
                    <Said text={t.queue === "pawl-tools" || t.queue === "pawl" ? "a Pawl worker" : t.queue} />
                  </td>
                  <td data-of="served">
                    {t.served === true ? (
                      <span class="st ok">
                        <Icon name="check" />
                        yes
                      </span>
                    ) : t.served === false ? (
                      <span class="st bad">
                        <Icon name="cross" />
                        nobody
                      </span>
                    ) : (
                      <span class="dim">not known</span>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </WideTable>
      )}
      <p class="dim">
        Nothing is changed here: a worker’s tools are changed in its tools file or Go code, an agent’s by the
        agent.
      </p>
    </PageFrame>
  );
}

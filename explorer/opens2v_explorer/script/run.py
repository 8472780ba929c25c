"""What Streamlit is told to run.

Alone in its folder: beside a folder `pages` Streamlit takes each module there for a script, and a first visit to `/browse` runs
`pages/browse.py` instead of the app.
"""

from opens2v_explorer.app import main

main()
